"""From a request to a fitted model: requests and permission, folds, search, fitting. Data comes prepared from `data/`."""
