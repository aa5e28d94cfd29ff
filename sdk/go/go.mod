module fractallba

go 1.24
