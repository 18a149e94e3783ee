"""Windows and arms in; the arm that suits them in effect, what came of it, and whether another would be better, out.

The modules, in the order in which data flows through them:

    context     a window and the arm that ran in it    → what a policy decides by
    policies    a context                              → a decision: an arm, and the chance that each arm had
    reward      windows under arms, and under EEVDF    → the reward of a decision
    log         decisions and their rewards            ⇄ Parquet files, whole after each decision
    estimates   a log and the chances of another policy → its value with an interval: IPS, SNIPS, doubly robust
    evaluation  a log                                  → these beside the best fixed arm, random, and scx_loader's rule
    replay      windows measured under every arm       → how a policy would have learned, beside an oracle
    cold_start  the name of a policy, and arms         → a policy for them: the one that ships, another, or a new one
    explanation a policy, contexts and an arm          → which features speak for that arm
    advice      a recording and a policy               → which arm would be tried, and why
    decisions   a log and one of its decisions         → the policy as it was then, and why it chose so
    page        a log                                  → one HTML page
    survey      a machine                              → the arms it has, and a configuration to begin with
    status      what an agent sees, thinks and does    → for a view of it

What acts on a machine stands on these:

    config      options and a file                     → what an agent is asked to do, in ``settings``
    classes     windows                                → which threads are short, and which are hogs
    machine     arms, and threads of the classes       → an arm in effect on a machine: the one interface to it
    here        what an agent is to do                 → this machine: its windows, and a ``machine`` to act on
    load        windows                                → whether the load has changed
    pairs       arms between two runs of EEVDF         → what is shown of an arm; ``trust``: of the policy
    guard       windows, ``slo``, ``quarantine``       → when the policy has no say, and which arms are barred
    loop        all of these, a turn after the other   → an arm in effect, a row in the ``book``, a ``status``
    run         what is asked, and a place             → the loop at work ``here``, ``alone`` and in real time
                                                         (``survival``), or on a target
"""
