train specs/logarithm.dl -o runs/logarithm -q
