"""From a candidate to an agreed plan: when it is planned, with which steps, how long it takes and what it would see."""
