module tarwalk

go 1.24
