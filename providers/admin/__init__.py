"""The admin of provider accounts, their costs, of routing rules and of the local inbox."""

from providers.admin import accounts, budgets, costs, inbox, rules, throttles

__all__ = ["accounts", "budgets", "costs", "inbox", "rules", "throttles"]
