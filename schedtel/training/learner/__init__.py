"""Actions tried in many environments in; a network that acts well there out.

The modules, in the order in which data flows through them:

    settings     what is asked for                      → the same, checked
    experience   environments and how to act            → chunks: what was seen, done and rewarded, step by step
    replay       chunks                                 → transitions over some steps, drawn by their priority
    network      observations                           → a value, and a number for each action; by torch
    passes       the same, and slopes of a loss         → slopes by each weight; by numpy, which is quicker
    dqn          chunks, by ``replay``                  → a network of action values: duelling, double, n-step
    policy       observations                           → actions by chance; what learns such a policy
    reinforce    whole episodes of the same instances   → a policy, by what the best of them did
    ppo          chunks                                 → a policy and values, by small steps
    algorithms   settings                               → the algorithm, in a form that has not learned yet
    book         rows of figures                        ⇄ ``metrics.parquet``
    tensorboard  a run                                  → its rows in files of TensorBoard
    checkpoint   an algorithm and its counters          ⇄ ``checkpoint.safetensors``
    course       how far a run is                       → configurations of the environments, and how much is explored
    run          settings and a directory               → all of it at work in one process, and going on after its end
    spread       how many processes are asked for       → the same, checked
    shards       what was learned                       ⇄ parts of it, each of which takes its steps alone
    actors       a call                                 → what a process does: act, keep, learn, or have a part
    in_turn      the same calls as of Ray               → done in this process, one after another
    processes    Ray                                    → processes, any of which may end
    memories     chunks                                 → batches of one replay, or of one for each worker
    servers      gradients                              → the weights of a server in parts, a step further
    learners     batches                                → what one learner, or several beside a server, learned
    crew         Ray and an algorithm                   → all of these, and others for those that end
    spread_run   settings, a directory and a spread     → the same as run, by such a crew
    page         runs                                   → an HTML page of how they went
    judged       checkpoints and rules                  → what their episodes cost, with intervals
    exported     a checkpoint                           → the weights of a model

A checkpoint counts the steps that its network has learned from. What was done after it is not counted when a run goes
on from it, and its rows are taken out of the book.
"""
