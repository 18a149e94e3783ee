"""Experiments in; a policy that knows what they show, and how good it is on workloads that it has not seen, out.

The modules, in the order in which data flows through them:

    examples     the runs of an experiment, with their recordings → windows with their costs
    packed       such windows                                     ⇄ one file, without the recordings
    fitting      such windows                                     → a policy
    held_out     such windows                                     → how policies do on workloads left out of them
    card         all of it                                        → what a user of the policy has to know

It is above :mod:`schedtel.experiments` and :mod:`schedtel.agent`, which do not know each other.
"""
