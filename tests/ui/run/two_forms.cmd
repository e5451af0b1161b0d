compile specs/shared.dl --to torch
