"""An experiment or an agent on one machine, the controller, in; what it does on another, the target, out.

messages    JSON of a call                           ⇄ a table, bounded in size
rules       what a controller asks for               → workloads and arms, or why it may not have them here
lease       a controller that is heard of            → the right to act, until it is silent
worker      one cell, in a process of its own        → its run, in a store of the target
switcher    calls of an agent, in such a process     → arms in effect, and everything put back
acting      calls of an agent                        → these for the switcher, and windows that are traced
bench       orders of the controller with the lease  → these processes, one at a time, and their end
feed        windows of a run, or for an agent        → the stream of a target
server      calls of Arrow Flight                    → all of the above: ``schedtel target serve``
client      a URI                                    → calls, and a session that the target hears of
answers     what a target says of a run              → a run, or why it is none
experiment  an experiment and a target               → runs in a store of the controller
machine     a target                                 → the place in which an agent is at work
"""
