check specs/lime.dl
