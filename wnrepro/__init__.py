"""A reproduction of Salimans & Kingma, *Weight Normalization* (NIPS 2016)."""
