"""`python -m sse_fast` is `sse-fast`."""

from sse_fast.cli import main

if __name__ == "__main__":
    main()
