train specs/line.dl -o specs/line.dl -q
