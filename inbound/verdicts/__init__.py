"""Who opened or clicked, a person or a machine: pure."""
