"""Recordings in, one self-contained page out: HTML with its style, script and figures inside, and nothing from outside.

    groups    windows             → who used and waited for the CPUs, by cgroup, command name, process
    document  timelines, groups   → what the page shows, as JSON
    page      JSON, template      → HTML in a file that only its owner can read
    page.html, page.css, *.js     the template, by section; see the list of sections in sections.js

The time axis comes from :mod:`schedtel.analysis.timeline`.
"""

from schedtel.report.document import RunSummary, document_of, tell, unlike
from schedtel.report.page import render, write_page

__all__ = ["RunSummary", "document_of", "render", "tell", "unlike", "write_page"]
