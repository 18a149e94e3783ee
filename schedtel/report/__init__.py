"""Windows of a recording in; one self-contained page out: HTML with style, script and figures inside, no requests.

    groups    windows             → CPU time and waits of each cgroup, command name or process
    document  timelines, groups   → the figures of the page, for JSON
    page      figures, template   → HTML, in a file that only its owner can read
    page.html, page.css, *.js     the template; sections.js lists the page's sections

The time axis comes from :mod:`schedtel.analysis.timeline`.
"""

from schedtel.report.document import RunSummary, document_of, tell, unlike
from schedtel.report.page import render, write_page

__all__ = ["RunSummary", "document_of", "render", "tell", "unlike", "write_page"]
