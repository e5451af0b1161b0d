run specs/points.csv --in x=[1]
