# The README is true: its SQL examples return what it says they return.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Read the SQL blocks: a list of [statement, expected output or undef].
sub read_examples
{
	my ($file) = @_;
	my @examples;
	my $in_sql = 0;
	my ($statement, @expected) = ('');
	my $flush = sub {
		push @examples, [ $statement, @expected ? join("\n", @expected) : undef ]
		  if $statement =~ /\S/;
		($statement, @expected) = ('');
	};

	for my $line (split /\n/, slurp_file($file))
	{
		if ($line =~ /^```/)
		{
			$flush->();
			$in_sql = $line eq '```sql';
			next;
		}
		next unless $in_sql;

		my ($sql, $result) = $line =~ /^(.*?)(?:\s*-->\s?(.*))?$/;
		$flush->() if $sql =~ /\S/ && $statement =~ /;\s*$/;
		$statement .= "$sql\n" if $sql =~ /\S/;
		push @expected, $result if defined $result;
	}
	$flush->();
	return @examples;
}

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'storeengine'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION storeengine');

my @examples = read_examples('README.md');
my $described = grep { defined $_->[1] } @examples;
cmp_ok($described, '>', 30, 'the README has examples with results');

# One session, for the transactions among them; each result between marks.
my $script = "\\set ON_ERROR_STOP 1\n\\pset tuples_only on\n\\pset format unaligned\n";
$script .= "$examples[$_][0]\\echo ==$_==\n" for 0 .. $#examples;
my ($code, $stdout, $stderr) = $node->psql('postgres', $script, extra_params => ['-q']);
is($code, 0, 'all examples run') or diag $stderr;

for my $i (0 .. $#examples)
{
	my ($statement, $expected) = @{ $examples[$i] };
	my ($result) = $stdout =~ s/^(.*?)\n?==$i==(?:\n|$)//s ? $1 : undef;

	next unless defined $expected;
	is($result, $expected, $statement =~ s/\s+/ /gr);
}

# Every function of the extension that users may call has an entry.
my @functions = split /\n/,
  $node->safe_psql('postgres', q{
	SELECT DISTINCT proname FROM pg_proc
	JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
	JOIN pg_extension ON refobjid = pg_extension.oid AND extname = 'storeengine'
	WHERE obj_description(pg_proc.oid, 'pg_proc') NOT LIKE 'internal:%' ORDER BY 1});
my $readme = slurp_file('README.md');
like($readme, qr/^\*\*`$_\(/m, "$_ has an entry") for @functions;

$node->stop;
done_testing();
