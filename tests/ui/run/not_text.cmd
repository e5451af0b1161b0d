check latin.dl
