module fetch

go 1.24

require cissdk v0.0.0

replace cissdk => ../../../sdk/go
