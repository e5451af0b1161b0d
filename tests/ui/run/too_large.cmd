check photos.dl
