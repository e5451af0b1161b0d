train specs/text.dl -o runs/text -q
