"""What production did to a model: windows of the prediction log, drift, performance, health, and the signals they raise."""
