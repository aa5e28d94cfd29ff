package signals

import (
	"fmt"
	"math"

	"fractallba/pcs"
)

const (
	rowsMin, rowsMax     = 3, 65_536 // the delay embedding of a series needs three values
	columnsMax           = 4_096
	magnitudeMax         = 1e300 // sums of 4,096 such values stay far below the largest double
	leafBytes            = 64
	scalesMin, scalesMax = 2, 10
	scaleMin, scaleMax   = 2, 1_024
)

// None is the row or the column of an error that is of no one value.
const None = -1

// WindowError is why a window cannot be summarised, or not so: its seed or its
// scales are out of range.
type WindowError struct {
	// Row and Column are those of the first bad value, counted from 0, or None.
	Row, Column int
	// Message names rows and columns, never a value of the window.
	Message string
}

// Error returns the message.
func (e *WindowError) Error() string { return e.Message }

// Is reports whether target is pcs.ErrContract.
func (e *WindowError) Is(target error) bool { return target == pcs.ErrContract }

func checkOptions(seed int64, scales []int64) error {
	if seed < 0 || seed > pcs.SafeIntegerMax {
		return whole("seed: expected an integer of 0 to 2^53-1, got one outside")
	}
	sound := len(scales) >= scalesMin && len(scales) <= scalesMax
	for i, scale := range scales {
		sound = sound && scale >= scaleMin && scale <= scaleMax && (i == 0 || scale >= 2*scales[i-1])
	}
	if !sound {
		return whole("scales: expected 2 to 10 integers of 2 to 1024, each at least twice the one before, got others")
	}
	return nil
}

func whole(message string) error { return &WindowError{Row: None, Column: None, Message: message} }

func checkRows(window [][]float64) error {
	if len(window) < rowsMin || len(window) > rowsMax {
		return whole(fmt.Sprintf("window: expected 3 to 65536 rows, got %d", len(window)))
	}
	columns := len(window[0])
	if columns < 1 || columns > columnsMax {
		return whole(fmt.Sprintf("window: expected 1 to 4096 columns, got %d", columns))
	}
	for i, row := range window {
		if len(row) != columns {
			message := fmt.Sprintf("window row %d: expected %d columns, got %d", i, columns, len(row))
			return &WindowError{Row: i, Column: None, Message: message}
		}
		for j, value := range row {
			if !(math.Abs(value) <= magnitudeMax) { // NaN too
				message := fmt.Sprintf(
					"window row %d, column %d: expected a finite number of magnitude at most 1e300, got another", i, j)
				return &WindowError{Row: i, Column: j, Message: message}
			}
		}
	}
	return nil
}
