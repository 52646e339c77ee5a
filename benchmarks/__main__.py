"""Run every case: `make bench`."""

from benchmarks import latency, pictures

if __name__ == "__main__":
    latency.main()
    pictures.main()
