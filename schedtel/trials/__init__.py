"""Loads that change, under arms and agents, in; how much each method costs beside EEVDF, round by round, out.

    file of TOML -> :mod:`.spec` -> blocks of phases (:mod:`.design`) -> :mod:`.running` -> runs in a store
    runs -> :mod:`.findings` -> text (:mod:`.text`) and a page (:mod:`.page`)

An experiment tells arms apart, each workload by itself. A trial tells *methods* apart: a workload follows another, and
what chooses the arm has to see that. An arm that never changes is a method as well.
"""
