"""Daily, weekly, monthly and quarterly reports of a model and of all: period.py -> material.py -> parts/ -> writing.py."""
