package pcs

import "time"

// TimestampMSMax is 9999-12-31T23:59:59.999Z in milliseconds since 1970.
const TimestampMSMax = 253_402_300_799_999

const timestampLayout = "2006-01-02T15:04:05.000Z"

// ParseTimestamp returns the milliseconds since 1970 of a time on the wire,
// YYYY-MM-DDTHH:MM:SS.mmmZ. The error is a *ContractError: another spelling, no
// Gregorian date, or before 1970.
func ParseTimestamp(text string) (int64, error) {
	ms, is := timestampMS(text)
	if !is {
		return 0, contract("timestamp: expected YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on, got another text")
	}
	return ms, nil
}

// FormatTimestamp returns the text of a time in milliseconds since 1970. The
// error is a *ContractError: outside 1970 to 9999.
func FormatTimestamp(ms int64) (string, error) {
	if ms < 0 || ms > TimestampMSMax {
		return "", contract("timestamp: expected a time in 1970 to 9999, got one outside")
	}
	return time.UnixMilli(ms).UTC().Format(timestampLayout), nil
}

// timestampMS reads the digits itself: time.Parse takes other spellings too,
// and one record has two.
func timestampMS(text string) (int64, bool) {
	if len(text) != len(timestampLayout) {
		return 0, false
	}
	for i := range len(timestampLayout) {
		if isDigit(timestampLayout[i]) != isDigit(text[i]) {
			return 0, false
		}
		if !isDigit(text[i]) && text[i] != timestampLayout[i] {
			return 0, false
		}
	}
	field := func(from, to int) (value int64) {
		for _, digit := range []byte(text[from:to]) {
			value = 10*value + int64(digit-'0')
		}
		return value
	}
	year, month, day := field(0, 4), field(5, 7), field(8, 10)
	hour, minute, second, ms := field(11, 13), field(14, 16), field(17, 19), field(20, 23)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	days := daysBefore(year, month) + day - 1
	return ((days*24+hour)*60+minute)*60_000 + second*1000 + ms, true
}

var monthDays = [13]int64{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func isLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int64) int64 {
	if month == 2 && isLeap(year) {
		return 29
	}
	return monthDays[month]
}

// daysBefore returns the days from 1970-01-01 to the first of a month.
func daysBefore(year, month int64) int64 {
	past := year - 1
	days := 365*(year-1970) + past/4 - past/100 + past/400 - 477 // leap days before 1970
	for m := int64(1); m < month; m++ {
		days += daysIn(year, m)
	}
	return days
}
