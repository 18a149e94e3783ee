"""Contexts in; decisions with the chance of each arm out.

The modules, in the order in which a decision passes through them:

    protocol    what a policy is given, and what it says
    policy      a context            → scaled numbers → the chance of each arm → an arm drawn by these chances
    tally       rewards of arms      → counts and means: of all time, of a window, or discounted
    simple      the tally            → fixed, random, round robin, epsilon-greedy, UCB1, and the rule of scx_loader
    regressed   ridge regression     → what is believed of each arm in a context
    linear      these beliefs        → LinUCB and Thompson sampling
    classifier  labelled experiments → the arm of least cost, by multinomial logistic regression
    gradient    costs or rewards     → a policy gradient with two hidden layers
    drift       errors of beliefs    → whether the load has changed, so that exploring begins again
    files       a policy             ⇄ a file in the format of safetensors
    registry    a name               → a policy
"""
