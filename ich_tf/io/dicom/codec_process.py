"""The process that decodes compressed pixels; see `codecs`.

It is run as a file of its own and imports nothing of this package. Each line of the
input is JSON with "path"; the answer is a line of JSON, with "shape", "type" and
"bytes" followed by that many bytes, or with "error".
"""

import contextlib
import importlib
import json
import logging
import os
import sys
import warnings

MEMORY_BYTES = 3 * 2**30


def limit_memory() -> None:
    """Let large requests for memory fail instead of filling the machine."""
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY_BYTES if hard < 0 else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def decode(path: str):
    """The stored values of a file."""
    import pydicom

    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True).pixel_array


def answer(request: dict) -> tuple[dict, bytes]:
    """Decode the file of a request."""
    try:
        values = decode(request["path"])
    # Decoder plugins raise every kind of exception on damaged or foreign data.
    except Exception as error:
        # Only what pydicom says of its decoders; other texts may quote the header.
        has_reason = isinstance(error, RuntimeError | NotImplementedError)
        reason = " ".join(str(error).split())[:300] if has_reason else ""
        return {
            "error": reason or f"the data are damaged ({type(error).__name__})"
        }, b""
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    head = {
        "shape": list(values.shape),
        "type": values.dtype.str,
        "bytes": values.nbytes,
    }
    return head, values.tobytes()


def main() -> None:
    """Answer requests until the input ends."""
    limit_memory()
    logging.disable(logging.CRITICAL)
    # Codecs print to standard output; answers go to a copy of it.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for name in ("pydicom", "openjpeg", "gdcm"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    out.write(b".")
    out.flush()
    for line in sys.stdin.buffer:
        head, content = answer(json.loads(line))
        out.write(json.dumps(head).encode() + b"\n" + content)
        out.flush()


if __name__ == "__main__":
    main()
