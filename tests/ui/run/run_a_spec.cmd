eval specs/line.dl
