"""Windows and arms in; which arm to run next, what came of it, and whether another way would have been better, out.

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
    machine     this machine                           → the arms it has, and a configuration to begin with
    status      what an agent sees, thinks and does    → for a view of it

Nothing here acts on a machine.
"""
