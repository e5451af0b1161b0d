train specs/few.dl -o runs/few -q
