"""The parts of `compare`: brokers, works, rounds, statistics, report, plots."""
