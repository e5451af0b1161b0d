run specs/line.dl --in x=[1]
