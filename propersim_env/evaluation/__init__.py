"""From logs to numbers: metrics of an episode, statistics over personas, work units and the runner, and the report."""
