check specs
