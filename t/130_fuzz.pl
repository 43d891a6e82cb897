# Code that reads what others write does so whatever they write: each seed of
# test/fuzz runs through its target, with the sanitizers on, and where clang and
# libFuzzer are at hand, so does a little that is new.  STORE_TEST_LONG=1 goes on
# for five minutes a target; scripts/fuzz, as long as you like.
use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename;
use FindBin;
use lib $FindBin::RealBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sources = abs_path("$FindBin::RealBin/../test/fuzz");
my $folder = PostgreSQL::Test::Utils::tempdir;
my $seconds = $ENV{STORE_TEST_LONG} ? 300 : 1;

# The path of a file that a compiler brings, '' if it does not.
sub compiler_file
{
	my ($compiler, $file) = @_;
	my $path = eval { `$compiler -print-file-name=$file 2>&1` } // '';

	chomp $path;
	return -f $path ? $path : '';
}

# A compiler with AddressSanitizer, whether it has libFuzzer, and what to
# preload.
sub find_compiler
{
	my ($machine) = (POSIX::uname())[4];
	my $sanitizer = compiler_file('clang', "libclang_rt.asan-$machine.so");

	return ('clang', 1, $sanitizer)
	  if $sanitizer && compiler_file('clang', "libclang_rt.fuzzer_no_main-$machine.a");
	$sanitizer = compiler_file('gcc', 'libasan.so');
	return ('gcc', 0, $sanitizer) if $sanitizer;
	return;
}

my ($compiler, $has_fuzzer, $sanitizer) = find_compiler();
plan skip_all => 'there is no compiler with AddressSanitizer' unless $compiler;
# It looks there for its stack, without which a jump out of an error confuses it.
plan skip_all => 'there is no /proc, which AddressSanitizer needs' unless -e '/proc/self/maps';
chomp(my $headers = `pg_config --includedir-server`);
plan skip_all => 'there are no headers of the server' unless -f "$headers/postgres.h";

my $log = "$folder/build.log";
my @make = ('make', '-C', $sources, '-j2', "CC=$compiler", "OUT=$folder", 'CFLAGS=-O1 -g');
push @make, 'LIBFUZZER=1' if $has_fuzzer;
IPC::Run::run(\@make, '>&', $log) or die slurp_file($log);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;

# Run statements, one a line, in a server by itself with the sanitizer: what it
# writes.  Nothing it does with wrong input is an ERROR: it ends.
sub single
{
	my ($sql) = @_;
	my $output = '';
	local $ENV{LD_PRELOAD} = "$sanitizer:$folder/preload.so";
	local $ENV{ASAN_OPTIONS} = 'detect_leaks=0:quarantine_size_mb=32';

	IPC::Run::run(
		[
			'postgres', '--single', '-F', '-D', $node->data_dir,
			'-c', "dynamic_library_path=$folder:\$libdir", 'postgres'
		],
		'<', \"$sql\n", '>&', \$output);
	return $output;
}

unlike(single(slurp_file("$sources/setup.sql")), qr/ERROR|FATAL/, 'the targets load');
for my $seeds (sort glob "$sources/seeds/*")
{
	my $target = basename $seeds;
	my @files = glob "$seeds/*";
	my $output = single("SELECT count(*) AS replayed FROM (SELECT store_fuzz_replay('$target', "
		  . "pg_read_binary_file('$seeds/' || name)) FROM pg_ls_dir('$seeds') AS name OFFSET 0) AS all_of_them");
	my $count = @files;

	like($output, qr/replayed = "$count"/, "$target: $count seeds") or diag $output;
	next unless $has_fuzzer;
	mkdir "$folder/$target";
	$output = single("SELECT store_fuzz('$target', '{$folder/$target,$seeds,-dict=$sources/dictionaries/$target.dict,"
		  . "-seed=1,-max_len=1024,-timeout=60,-max_total_time=$seconds,-artifact_prefix=$folder/}')");
	my ($runs) = $output =~ /^Done ([0-9]+) runs/m;
	ok($runs, "$target: fuzzing") or diag $output;
	note "$target: $runs inputs" if $runs;
}
done_testing();
