eval specs
