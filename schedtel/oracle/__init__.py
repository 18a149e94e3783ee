"""Recorded events in; a forecast of who is next on a CPU, and how good it is beside others, out.

runs        events by roles                 ⇄ Parquet files of a dataset
gather      recordings, text of tracers     → runs
recorded    workloads, this machine         → runs
dataset     runs                            ⇄ a directory with a card, split by runs
successors  who came after whom             → chances (Markov)
habits      the times of a task             → what it usually does
machine     the events so far               → who runs, waits and sleeps
candidates  the machine after a switch      → who may be next, and what is known of each
samples     a run                           → forecasts to be made, and their answers
rules       samples                         → the forecasts of simple rules
pointer     samples                         → those of a small network, by numpy
networks    samples                         → trained networks (the only module that imports torch)
models      a trained network               ⇄ a file
scores      forecasts, answers              → top-1, top-5, NLL, calibration, with intervals
evaluation  a dataset, a model              → all of these, for all forecasters
page        an evaluation                   → text, and an HTML page
pick        events with books               → whom EEVDF picks at a switch, and how often that is so
"""
