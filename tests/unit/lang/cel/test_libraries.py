"""Kubernetes' function libraries, as tables of expression and result."""

from __future__ import annotations

from typing import Any

import pytest

from merope.lang.cel import Environment, EvaluationError, OptionalValue

ENVIRONMENT = Environment({})


def value_of(expression: str) -> Any:
    value, _ = ENVIRONMENT.compile(expression).evaluate({})
    if isinstance(value, OptionalValue):
        return value.value if value.has else None
    return value


HOLDS = """
# quantities
quantity('1Gi') == quantity('1024Mi')
quantity('1') == quantity('1000m')
quantity('1Gi').isGreaterThan(quantity('1G'))
quantity('50k').isLessThan(quantity('50001'))
quantity('200M').compareTo(quantity('0.2G')) == 0
quantity('200M').compareTo(quantity('201M')) == -1
quantity('200M').compareTo(quantity('0.1G')) == 1
quantity('50k').asInteger() == 50000
quantity('50703').asApproximateFloat() == 50703.0
quantity('1500m').asApproximateFloat() == 1.5
quantity('50k').isInteger() && !quantity('50k123m').isInteger() || true
!quantity('1500m').isInteger()
quantity('-1').sign() == -1 && quantity('0').sign() == 0 && quantity('5m').sign() == 1
quantity('50k').add(quantity('20')) == quantity('50020')
quantity('50k').add(20) == quantity('50020')
quantity('50k').sub(quantity('20')).sub(10) == quantity('49970')
isQuantity('1.3G') && isQuantity('1Ki') && !isQuantity('200K') && !isQuantity('three') && !isQuantity('')
type(quantity('1')) == kubernetes.Quantity
# URLs
url('https://example.com:80/').getScheme() == 'https'
url('https://example.com:80/').getHost() == 'example.com:80'
url('https://example.com/').getHost() == 'example.com'
url('https://[::1]:80/').getHost() == '[::1]:80'
url('https://[::1]:80/').getHostname() == '::1'
url('https://example.com:80/').getHostname() == 'example.com'
url('https://example.com:80/').getPort() == '80'
url('https://example.com/').getPort() == ''
url('/path').getHost() == '' && url('/path').getScheme() == ''
url('https://example.com/path').getEscapedPath() == '/path'
url('https://example.com/with space/').getEscapedPath() == '/with%20space/'
url('https://example.com').getEscapedPath() == ''
url('https://example.com/p?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}
url('https://example.com/p?key%20with=a+b').getQuery()['key with'] == ['a b']
url('https://example.com/p').getQuery() == {}
isURL('https://a:b@example.com/x') && isURL('/absolute') && !isURL('relative') && !isURL('../x') && !isURL('')
!isURL('https://exa mple.com/') && !isURL('https://example.com:port/') && !isURL('https://example.com/%zz')
url('https://a/') == url('https://a/') && url('https://a/') != url('https://b/')
# addresses
isIP('127.0.0.1') && isIP('::1') && isIP('2001:db8::abcd')
!isIP('127.0.0.256') && !isIP('') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%en0') && !isIP('01.2.3.4')
ip('127.0.0.1').family() == 4 && ip('::1').family() == 6
ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')
!ip.isCanonical('2001:db8:0:0::abcd')
ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified()
ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && !ip('10.0.0.1').isLoopback()
ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()
!ip('224.0.1.1').isLinkLocalMulticast()
ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()
ip('192.168.0.1').isGlobalUnicast() && ip('2001:db8::abcd').isGlobalUnicast()
!ip('255.255.255.255').isGlobalUnicast() && !ip('127.0.0.1').isGlobalUnicast() && !ip('224.0.0.1').isGlobalUnicast()
ip('127.0.0.1') == ip('127.0.0.1') && ip('::1') == ip('0:0::1')
string(ip('2001:DB8::1')) == '2001:db8::1'
type(ip('::1')) == net.IP
isCIDR('192.168.0.0/24') && isCIDR('192.168.0.0/0') && isCIDR('::1/128')
!isCIDR('192.168.0.0/33') && !isCIDR('192.168.0.0') && !isCIDR('192.168.0.0/24/24') && !isCIDR('::ffff:1.2.3.4/100')
cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && cidr('192.168.0.0/24').containsIP('192.168.0.1')
!cidr('192.168.0.0/24').containsIP('192.168.1.1') && !cidr('192.168.0.0/24').containsIP('::1')
cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24')) && cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')
!cidr('192.168.0.0/24').containsCIDR('192.168.0.0/23') && !cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')
cidr('192.168.0.0/24').ip() == ip('192.168.0.0') && cidr('192.168.0.1/24').ip() == ip('192.168.0.1')
cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && cidr('192.168.0.1/24') != cidr('192.168.0.0/24')
cidr('192.168.0.0/24').prefixLength() == 24
string(cidr('192.168.0.0/24')) == '192.168.0.0/24'
# versions
isSemver('1.0.0') && isSemver('1.2.3-rc.1+build.5') && !isSemver('1.0') && !isSemver('v1.0.0') && !isSemver('01.0.0')
isSemver('v1.0', true) && isSemver('1', true) && isSemver('01.02.03', true) && !isSemver('1.0-rc1', true)
semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3
semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc1'))
semver('1.0.0-alpha').isLessThan(semver('1.0.0-alpha.1'))
semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))
semver('1.0.0-2').isLessThan(semver('1.0.0-10')) && semver('1.0.0-10').isLessThan(semver('1.0.0-a'))
semver('1.2.3').compareTo(semver('2.0.0')) == -1 && semver('1.2.3').compareTo(semver('1.2.3+x')) == 0
semver('v1.2', true) == semver('1.2.0')
# formats
format.dns1123Label().validate('my-name') == optional.none()
format.dns1123Label().validate('My_Name').hasValue()
format.dns1123Subdomain().validate('a.b.c') == optional.none()
format.dns1035Label().validate('1a').hasValue() && !format.dns1035Label().validate('a1').hasValue()
format.qualifiedName().validate('example.com/name') == optional.none()
format.dns1123LabelPrefix().validate('my-name-') == optional.none()
format.dns1123Label().validate('my-name-').hasValue()
format.dns1123SubdomainPrefix().validate('a.b-') == optional.none()
format.dns1035LabelPrefix().validate('a-') == optional.none()
format.labelValue().validate('') == optional.none() && format.labelValue().validate('a b').hasValue()
format.uri().validate('https://example.com') == optional.none() && format.uri().validate('x y').hasValue()
format.uuid().validate('123e4567-e89b-12d3-a456-426614174000') == optional.none()
format.uuid().validate('x').hasValue()
format.byte().validate('aGVsbG8=') == optional.none() && format.byte().validate('aGVsbG8=!').hasValue()
format.date().validate('2021-01-01') == optional.none() && format.date().validate('2021-13-01').hasValue()
format.datetime().validate('2021-01-01T00:00:00Z') == optional.none() && format.datetime().validate('2021').hasValue()
format.named('dns1123Label').hasValue() && !format.named('nope').hasValue()
format.named('uuid').value().validate('x').value()[0] == 'does not match the UUID format'
# lists
[1, 2, 3].isSorted() && !['b', 'a'].isSorted() && [].isSorted() && [1.0, 1.0].isSorted()
[1, 3].sum() == 4 && [1.5, 2.5].sum() == 4.0 && [1u, 2u].sum() == 3u && [].sum() == 0
[duration('1m'), duration('1s')].sum() == duration('61s')
[2, 1, 3].min() == 1 && ['b', 'a'].min() == 'a' && [2, 1, 3].max() == 3
[1, 2, 2, 3].indexOf(2) == 1 && [1, 2, 2, 3].lastIndexOf(2) == 2 && ['a'].indexOf('b') == -1
[1, 2, 3, 4].slice(1, 3) == [2, 3]
[[1, 2], [3], []].flatten() == [1, 2, 3]
[[dyn(1), [dyn(2), [3]]]].flatten(2) == [dyn(1), 2, [3]]
[1, 2, 2, 1].distinct() == [1, 2] && ['b', 'a', 'b'].distinct() == ['b', 'a']
[3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b']
[{'n': 'x', 'v': 'b'}, {'n': 'y', 'v': 'a'}].sortBy(e, e.v).map(e, e.n) == ['y', 'x']
[1, 2, 3].reverse() == [3, 2, 1] && lists.range(3) == [0, 1, 2]
[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && !dyn([]).first().hasValue()
# sets
sets.contains([1, 2, 3], [3, 1]) && !sets.contains([1], [2]) && sets.contains([1], [])
sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2])
sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2]) && !sets.intersects([], [])
# regular expressions
'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''
'123 abc 456'.findAll('[0-9]+') == ['123', '456'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']
'abc'.findAll('x') == [] && 'a1'.findAll('[a-z0-9]', -1) == ['a', '1']
'foobar'.matches('^foo') && 'foobar'.matches('bar$') && !'foobar'.matches('^bar')
# macros over two variables
[1, 2, 3].all(i, v, v == i + 1) && [1, 2].exists(i, v, i == 1 && v == 2) && [1, 1].existsOne(i, v, i == 0)
{'a': 1, 'b': 2}.all(k, v, k != '' && v > 0) && {'a': 1}.exists(k, v, k == 'a' && v == 1)
[1, 2, 3].transformList(i, v, i * v) == [0, 2, 6]
[1, 2, 3].transformList(i, v, i > 0, v) == [2, 3]
{'a': 1}.transformList(k, v, k) == ['a']
{'a': 1, 'b': 2}.transformMap(k, v, v + 1) == {'a': 2, 'b': 3}
{'a': 1, 'b': 2}.transformMap(k, v, k == 'a', v + 1) == {'a': 2}
['x', 'y'].transformMapEntry(i, v, {v: i}) == {'x': 0, 'y': 1}
{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}
# numbers across types
1 < 1.5 && 2u > 1 && 1.5 <= 2u && 1 >= 0.5
# go's way to write numbers
string(1000000.0) == '1e+06' && string(123456.0) == '123456'
string(0.0001) == '0.0001' && string(1.5e-7) == '1.5e-07'
""".strip().split("\n")


@pytest.mark.parametrize("expression", [line for line in HOLDS if not line.startswith("#")])
def test_holds(expression: str) -> None:
    assert value_of(expression) is True


FAILS = {
    "quantity('200K')": "unable to parse quantity's suffix",
    "quantity('many')": "quantities must match the regular expression",
    "quantity('1500m').asInteger()": "cannot convert value to integer",
    "ip('x')": "unable to parse IP",
    "cidr('10.0.0.0')": "ParsePrefix",
    "url('relative')": "invalid URI for request",
    "semver('v1.0.0')": 'Invalid character(s) found in major number "v1"',
    "semver('1.0')": "No Major.Minor.Patch elements found",
    "dyn([]).min()": "min called on empty list",
    "dyn([]).max()": "max called on empty list",
    "[1, 2].slice(1, 5)": "list is length 2",
    "[1, 2].slice(2, 1)": "start index must be less than or equal to end index",
    "optional.none().value()": "optional.none() dereference",
    "[dyn(1), dyn('a')].sort()": "no such overload",
    "'abc'.charAt(7)": "index out of range: 7",
    "'abc'.substring(2, 1)": "invalid substring range. start: 2, end: 1",
    "['x', 'x'].transformMapEntry(i, v, {v: i})": "insert failed: key x already exists",
    "dyn('abc').matches('(' + '')": "error parsing regexp",
    "int('x')": 'strconv.ParseInt: parsing "x": invalid syntax',
    "{'a': 1}['b']": "no such key: b",
    "[1][3]": "index out of bounds: 3",
    "1 / 0": "division by zero",
    "1 % 0": "modulus by zero",
    "9223372036854775807 + 1": "integer overflow",
    "0u - 1u": "unsigned integer overflow",
    "dyn(1) + dyn('a')": "no such overload",
    "dyn(0.0) / dyn(0.0) < 1.0": "NaN values cannot be ordered",
}


@pytest.mark.parametrize(("expression", "message"), FAILS.items())
def test_fails_with_the_message_of_kubernetes(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value_of(expression)

    assert message in str(caught.value)


def test_or_value_evaluates_its_argument_only_when_needed() -> None:
    assert value_of("optional.of(1).orValue(1 / 0)") == 1
    assert value_of("optional.of(1).or(optional.of(1 / 0)).value()") == 1


def test_the_validation_of_a_named_format_tells_what_is_wrong() -> None:
    (problem,) = value_of("format.dns1123Label().validate('A')")

    assert problem.startswith("a lowercase RFC 1123 label must consist of")
