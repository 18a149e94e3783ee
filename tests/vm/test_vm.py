"""Other kernels: each boots once, and runs schedtel's own checks (guest.py). A table at the end has the results."""

import pytest
from boot import boot
from kernels import KERNELS, UnavailableError, fetch
from report import Report

BACKENDS = ("core",)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_schedtel_on(kernel, archive, tmp_path, report):
    try:
        outcome = boot(fetch(kernel), archive(), (f"schedtel.backends={','.join(BACKENDS)}",), tmp_path)
    except UnavailableError as reason:
        report.skipped(kernel, str(reason))
        pytest.skip(str(reason))
    for backend in BACKENDS:
        report.add(kernel, backend, outcome)
    assert outcome.finished, f"the guest ended before its checks did, {outcome.ending}:\n{outcome.console}"
    wrong = [text for backend in BACKENDS for text in Report.wrong(kernel, backend, outcome)]
    assert not wrong, "\n".join([*wrong, outcome.console])
