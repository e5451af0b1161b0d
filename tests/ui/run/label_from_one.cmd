train specs/labels.dl -o runs/labels -q
