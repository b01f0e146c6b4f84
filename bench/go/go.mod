module headgate.dev/bench

go 1.22
