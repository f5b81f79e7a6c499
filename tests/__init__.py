"""Tests, in the order of the apps; `plugin` starts what they need."""
