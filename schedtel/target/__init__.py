"""An experiment on one machine, the controller, in; its runs made on another, the target, out.

messages    JSON of a call                           ⇄ a table, bounded in size
rules       an experiment and files of a controller  → workloads, or why they are not run here
lease       a controller that is heard of            → the right to act, until it is silent
worker      one cell, in a process of its own        → its run, in a store of the target
bench       cells of the controller with the lease   → these processes, one at a time, and their end
server      calls of Arrow Flight                    → all of the above: ``schedtel target serve``
client      a URI                                    → calls, and a session that the target hears of
answers     what a target says of a run              → a run, or why it is none
experiment  an experiment and a target               → runs in a store of the controller
"""
