module go_serve

go 1.24
