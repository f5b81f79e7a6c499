"""From what happened to what receivers are told."""
