module cissdk

go 1.24
