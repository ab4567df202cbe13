"""Statistics: samples, paired comparisons, intervals, the roofline. Pure."""
