"""`make load`, or `python -m benchmarks.load --url http://host:8000 --clients 100`."""

import sys

from benchmarks.load import main

if __name__ == "__main__":
    main(sys.argv[1:])
