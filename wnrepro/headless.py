"""matplotlib, imported before anything else imports it: without the backend of a notebook's kernel.

`$MPLBACKEND`, which a kernel hands to every command, often names one that this environment does not
have, and then the import fails. Pictures drawn to files need none. Nor do they need a home that can
be written, of which matplotlib would complain each time.
"""

import os
import tempfile
from contextlib import suppress

if not os.access(os.path.expanduser("~"), os.W_OK):
    folder = f"{tempfile.gettempdir()}/matplotlib-{os.getuid()}"
    os.environ.setdefault("MPLCONFIGDIR", folder)

_named = os.environ.pop("MPLBACKEND", None)

import matplotlib  # noqa: E402

if _named is not None:
    os.environ["MPLBACKEND"] = _named
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _named  # in a notebook that imports us it is the user's
